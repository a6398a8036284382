package pngstream

// passes are the seven passes of Adam7: the first column and row, and the steps between them.
var passes = [7]struct{ x, y, dx, dy int }{
	{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
}

// bandSize is about the size of a band of an interlaced picture.
const bandSize = 1 << 20

// interlace is a whole picture in bands of rows. A band is allocated with its first row, and released when all have
// been taken, so that picture and result together need little more memory than the larger of both.
type interlace struct {
	width, height, channels int
	rowsOfBand              int
	bands                   [][]byte
}

func newInterlace(h *header, layout Layout) *interlace {
	m := &interlace{width: h.Width, height: h.Height, channels: layout.Channels()}
	m.rowsOfBand = max(1, bandSize/(m.width*m.channels))
	m.bands = make([][]byte, (m.height+m.rowsOfBand-1)/m.rowsOfBand)
	return m
}

// row returns row y.
func (m *interlace) row(y int) []byte {
	i, size := y/m.rowsOfBand, m.width*m.channels
	if m.bands[i] == nil {
		m.bands[i] = make([]byte, min(m.rowsOfBand, m.height-i*m.rowsOfBand)*size)
	}
	return m.bands[i][y%m.rowsOfBand*size:][:size]
}

// take returns row y and releases the rows above its band.
func (m *interlace) take(y int) []byte {
	if i := y / m.rowsOfBand; i > 0 {
		m.bands[i-1] = nil
	}
	return m.row(y)
}

// decode reads the passes.
func (m *interlace) decode(s *rows) error {
	for _, p := range passes {
		width := (m.width - p.x + p.dx - 1) / p.dx
		if width <= 0 {
			continue
		}
		s.start(width)
		for y := p.y; y < m.height; y += p.dy {
			row, err := s.next()
			if err != nil {
				return err
			}
			m.spread(m.row(y)[p.x*m.channels:], row, p.dx)
		}
	}
	return nil
}

// spread copies pixels to every dx-th of dst.
func (m *interlace) spread(dst, src []byte, dx int) {
	n := m.channels
	for len(src) > 0 {
		copy(dst[:n], src[:n])
		dst, src = dst[min(dx*n, len(dst)):], src[n:]
	}
}
