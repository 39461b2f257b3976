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
	p.Draw(draw.New(svg))
	if err := write(base+"-"+c.Name+".svg", svg); err != nil {
		return err
	}
	img := vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(120), vgimg.UseBackgroundColor(color.White))
	p.Draw(draw.New(img))
	return write(base+"-"+c.Name+".png", vgimg.PngCanvas{Canvas: img})
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
	most := 0.0
	for i, curve := range c.Curves {
		var xy plotter.XYs
		for k := range curve.X {
			if c.LogX && curve.X[k] <= 0 {
				continue
			}
			xy = append(xy, plotter.XY{X: curve.X[k], Y: curve.Y[k]})
			most = max(most, curve.Y[k])
		}
		if len(xy) == 0 {
			continue
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", curve.Name, err)
		}
		line.Color, line.Width = colours[i%len(colours)], vg.Points(1.5)
		p.Add(line)
		if len(xy) > 30 {
			p.Legend.Add(curve.Name, line)
			continue
		}
		points.Color, points.Shape, points.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(points)
		p.Legend.Add(curve.Name, line, points)
	}
	p.Y.Min, p.Y.Max = 0, math.Max(most*1.35, 1e-9) // room for the legend
	return p, nil
}

// ticks are at the fleet sizes themselves.
func (c Chart) ticks() plot.ConstantTicks {
	seen := map[float64]bool{}
	var out plot.ConstantTicks
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
