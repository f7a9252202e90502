package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of CPU time in /proc: the same on all of
// Linux's platforms that matter here.
const ticksPerSecond = 100

// coreBusy returns the CPU time that all processes and the hypervisor's other
// guests have taken from a core since the machine's start. Interrupts aren't in
// it: they are part of any load over the network.
func coreBusy(core int) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(stat) {
		// cpuN user nice system idle iowait irq softirq steal
		fields := strings.Fields(string(line))
		if len(fields) < 9 || fields[0] != "cpu"+strconv.Itoa(core) {
			continue
		}
		var ticks int64
		for _, i := range []int{1, 2, 3, 8} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/stat: %w", err)
			}
			ticks += n
		}
		return time.Duration(ticks) * time.Second / ticksPerSecond, nil
	}
	return 0, fmt.Errorf("the machine has no core %d", core)
}
