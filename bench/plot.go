// Copyright 2026 The Ferrite Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

const chartWidth, chartHeight = 16 * vg.Centimeter, 9 * vg.Centimeter

// Colours that people with the common kinds of colour blindness can tell apart (Okabe and Ito).
var colours = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, {0, 0, 0, 255},
}

// Draw writes the chart as SVG and PNG; both names begin with base.
func (c Chart) Draw(base string) error {
	p, err := c.plot()
	if err != nil {
		return fmt.Errorf("chart %s: %w", c.Name, err)
	}
	svg := vgsvg.New(chartWidth, chartHeight)
	p.Draw(inside(draw.New(svg)))
	if err := write(base+"-"+c.Name+".svg", svg); err != nil {
		return err
	}
	img := vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(120), vgimg.UseBackgroundColor(color.White))
	p.Draw(inside(draw.New(img)))
	return write(base+"-"+c.Name+".png", vgimg.PngCanvas{Canvas: img})
}

// inside leaves room for the half of the last label that is right of the axis' end.
func inside(c draw.Canvas) draw.Canvas {
	return draw.Crop(c, vg.Points(4), -vg.Points(16), vg.Points(4), -vg.Points(4))
}

func write(name string, w io.WriterTo) error {
	f, err := os.Create(name) //nolint:gosec // the user names the folder
	if err != nil {
		return err
	}
	if _, err := w.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func (c Chart) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	p.Title.TextStyle.Font.Size, p.Title.Padding = 12, 6
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = 9
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	if c.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, c.ticks()
	}
	from, to, most := c.ends()
	for i, curve := range c.Curves {
		xy := c.points(curve, from)
		if len(xy) == 0 {
			continue
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", curve.Name, err)
		}
		if curve.Colour > 0 {
			i = curve.Colour - 1
		}
		line.Color, line.Width = colours[i%len(colours)], vg.Points(1.5)
		if curve.Dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		if c.Steps {
			line.StepStyle = plotter.PostStep
		}
		p.Add(line)
		if c.Steps || len(xy) > 30 {
			p.Legend.Add(curve.Name, line)
			continue
		}
		points.Color, points.Shape, points.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(points)
		p.Legend.Add(curve.Name, line, points)
	}
	p.X.Min, p.X.Max = from, to
	p.Y.Min, p.Y.Max = 0, math.Max(most*1.35, 1e-9) // room for the legend
	if c.Share {
		p.Y.Max = 1.02 // the legend has room above curves that rise from the left
		p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 0.25, Label: "0.25"}, {Value: 0.5, Label: "0.5"}, {Value: 0.75, Label: "0.75"}, {Value: 1, Label: "1"}}
	}
	if c.Steps { // they rise at the left, soon, and at the right: the middle is free
		p.Legend.Left, p.Legend.XOffs, p.Legend.YOffs = false, -chartWidth/6, -chartHeight/5
	}
	return p, nil
}

// ends are where the axes go: no curve lies on the right end, and a time line begins shortly before anything happens.
func (c Chart) ends() (from, to, most float64) {
	from = math.Inf(1)
	for _, curve := range c.Curves {
		for i, x := range curve.X {
			most, to = max(most, curve.Y[i]), max(to, x)
			if (!c.LogX || x > 0) && (!c.Steps || curve.Y[i] > 0) {
				from = min(from, x)
			}
		}
	}
	switch {
	case to <= 0 || math.IsInf(from, 0): // nothing to draw
		return 1, 10, most
	case c.Steps && c.LogX:
		return from / 1.15, to * 1.25, most
	case c.LogX:
		return from / 1.05, to * 1.05, most
	default:
		return min(0, from), to * 1.03, most
	}
}

// points are those of a curve that can be drawn; what a time line had before it begins is at its beginning.
func (c Chart) points(curve Curve, from float64) (xy plotter.XYs) {
	for k, x := range curve.X {
		if c.Steps {
			x = max(x, from)
		}
		if c.LogX && x <= 0 {
			continue
		}
		xy = append(xy, plotter.XY{X: x, Y: curve.Y[k]})
	}
	return xy
}

// ticks of a logarithmic axis are at the fleet sizes themselves, of a time line at round seconds.
func (c Chart) ticks() plot.ConstantTicks {
	seen := map[float64]bool{}
	var out plot.ConstantTicks
	if c.Steps {
		from, to, _ := c.ends()
		for decade := 0.001; decade < 1e5; decade *= 10 {
			for _, x := range []float64{1, 1.2, 1.5, 2, 3, 4, 6, 8} {
				if x = math.Round(x*decade*1e4) / 1e4; x >= from && x <= to {
					out = append(out, plot.Tick{Value: x, Label: short(x)})
				}
			}
		}
		return out
	}
	for _, curve := range c.Curves {
		for _, x := range curve.X {
			if x > 0 && !seen[x] {
				seen[x] = true
				out = append(out, plot.Tick{Value: x, Label: short(x)})
			}
		}
	}
	return out
}

// short is 50k for 50000.
func short(x float64) string {
	switch {
	case x >= 1e6:
		return fmt.Sprintf("%gM", x/1e6)
	case x >= 1e3:
		return fmt.Sprintf("%gk", x/1e3)
	default:
		return fmt.Sprintf("%g", x)
	}
}
