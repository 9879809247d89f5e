package measure

import "runtime"

// MemoryInUse returns how many octets are on the heap and on stacks, once stacks have shrunk and
// pools are empty.
func MemoryInUse() (heap, stack float64) {
	const collections = 6 // each halves stacks that are too large
	for range collections {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(m.StackInuse)
}

// Mallocs returns how often memory was allocated so far.
func Mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
