package main

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configure fills the flags that the command line left alone from the environment
// and then from the configuration file.
func configure(flags *pflag.FlagSet) error {
	file, err := configFile(flags)
	if err != nil {
		return err
	}
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || failed != nil {
			return
		}
		env := "TIDEMILL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, from := os.Getenv(env), env
		if value == "" {
			value, from = file.values[f.Name], file.name+": key "+f.Name
		}
		if value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s: %q: %w", from, value, err)
		}
	})
	return failed
}

const flagConfig = "config"

// settings are the keys of a configuration file.
type settings struct {
	name   string
	values map[string]string
}

// configFile reads the file that --config or TIDEMILL_CONFIG names. Keys that are
// no command's flags are errors.
func configFile(flags *pflag.FlagSet) (settings, error) {
	name, _ := flags.GetString(flagConfig)
	if name == "" {
		name = os.Getenv("TIDEMILL_CONFIG")
	}
	if name == "" {
		return settings{}, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return settings{}, err
	}
	var raw map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return settings{}, fmt.Errorf("%s: %w", name, err)
	}
	known := knownFlags()
	out := map[string]string{}
	keys := make([]string, 0, len(raw))
	for k := range raw {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !known[k] {
			return settings{}, fmt.Errorf("%s: unknown key %q", name, k)
		}
		switch raw[k].(type) {
		case string, bool, int, int64, uint64, float64:
			out[k] = fmt.Sprint(raw[k])
		default:
			return settings{}, fmt.Errorf("%s: key %s: want one value, not %v", name, k, raw[k])
		}
	}
	return settings{name, out}, nil
}

// knownFlags is the names of every command's flags: one file serves all commands.
func knownFlags() map[string]bool {
	known := map[string]bool{}
	var visit func(cmds []*cobra.Command)
	visit = func(cmds []*cobra.Command) {
		for _, c := range cmds {
			c.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
			visit(c.Commands())
		}
	}
	visit(root().Commands())
	return known
}
