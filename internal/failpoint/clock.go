package failpoint

// ClockEnv names how far the clock of a process is off, as Go writes durations: "1h", "-30m".
// Only builds with the tag failpoints read it.
const ClockEnv = "TIDEMILL_TEST_CLOCK_OFFSET"
