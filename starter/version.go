package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker for a release.
var release string

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments("no arguments", 0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			return a.emit(map[string]string{"version": v, "go": runtime.Version()}, func(w io.Writer) {
				fmt.Fprintf(w, "holdfast %s (%s)\n", v, runtime.Version())
			})
		},
	}
}

// thisVersion is the release, else what the build knows of its source.
func thisVersion() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
