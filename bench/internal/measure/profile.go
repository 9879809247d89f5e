package measure

import (
	"os"
	"runtime/pprof"
)

// Profiled runs f, and writes its CPU profile to a file if that has a name.
func Profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

// WriteMemory writes the profile of what is in use and of all allocations so far to a file, if
// that has a name.
func WriteMemory(file string) error {
	if file == "" {
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	return pprof.Lookup("heap").WriteTo(out, 0)
}
