// Package browsertest opens the status page in a browser, and looks at what people see. It is a module of its own, as
// its tests need Chromium: they fail without one. .ci/run installs it.
package browsertest
