// Package protocol has the messages between the benchmark and a process that filters photos: a line of JSON for each
// request and for each reply. The photos are in files. sharp.mjs implements it, too.
package protocol

// Hello is the first line that a process sends.
type Hello struct {
	Versions string `json:"versions"` // of the libraries, for the report
}

// Request asks for one photo.
type Request struct {
	Operation string `json:"operation"` // one of the operations of the process
	Format    string `json:"format"`    // of the result: jpeg or png
	In        string `json:"in"`        // path of the photo
	Out       string `json:"out"`       // path of the result
}

// Reply has the cost of one photo. The time does not include reading and writing the files, which only the benchmark
// needs.
type Reply struct {
	Nanos     int64  `json:"nanos"`     // from encoded photo in memory to encoded result in memory
	CPUMicros int64  `json:"cpuMicros"` // of all threads since the start of the process
	Mallocs   uint64 `json:"mallocs"`   // objects allocated for this photo; Go only
	Allocated uint64 `json:"allocated"` // bytes of them
	Error     string `json:"error,omitempty"`
}

// Matrix is the sepia step of the filter, 60 % of the full effect. The other programs of the benchmark do this one
// multiplication only, and not the other three steps of the filter unless the report says so.
var Matrix = [3][3]float64{
	{1 - 0.6*0.607, 0.6 * 0.769, 0.6 * 0.189},
	{0.6 * 0.349, 1 - 0.6*0.314, 0.6 * 0.168},
	{0.6 * 0.272, 0.6 * 0.534, 1 - 0.6*0.869},
}
