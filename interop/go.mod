module github.com/mendlink/mendlink/interop

go 1.26.0

require github.com/mendlink/mendlink v0.0.0

replace github.com/mendlink/mendlink => ../
