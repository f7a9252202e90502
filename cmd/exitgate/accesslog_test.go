package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/exitgate/exitgate/internal/testkit"
)

// As logrotate does it: the file is renamed, and the gateway told by SIGHUP.
func TestTheAccessLogIsRotated(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, "jurisdictions: {FR: {phase: withdrawn, territories: none}}\n")
	m.access = m.file("access.log")
	m.start()
	for n := range 3 {
		id := m.request("FR", fmt.Sprint("GET /", n)).header.Get("X-Request-Id")
		testkit.Eventually(t, "it is logged", func() bool { return strings.Contains(m.reads(m.access), id) })
		if err := os.Rename(m.access, fmt.Sprint(m.access, ".", n)); err != nil {
			t.Fatal(err)
		}
		if err := m.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "it is opened again", func() bool {
			info, err := os.Stat(m.access)
			return err == nil && info.Mode() == 0o600
		})
	}
	id := m.request("FR", "GET /last").header.Get("X-Request-Id")
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-m.ended
	if last := m.reads(m.access); !strings.Contains(last, id) || strings.Count(last, "\n") != 1 {
		t.Errorf("at the end there is %q", last)
	}
	for n := range 3 {
		if lines := m.reads(fmt.Sprint(m.access, ".", n)); strings.Count(lines, "\n") != 1 {
			t.Errorf("in the file before there is %q", lines)
		}
	}
}

// logrotate does what the documentation has it do.
func TestLogrotateRotatesTheAccessLog(t *testing.T) {
	t.Parallel()
	requireProgram(t, "logrotate")
	m := newGatewayProcess(t, "")
	m.access = m.file("access.log")
	m.start()
	id := m.request("FR", "GET /").header.Get("X-Request-Id")
	testkit.Eventually(t, "it is logged", func() bool { return strings.Contains(m.reads(m.access), id) })
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	const name, signal = "/var/log/exitgate/access.log", "systemctl kill --signal=HUP --kill-whom=main exitgate.service"
	documented := ""
	for _, b := range block.FindAllStringSubmatch(string(page), -1) {
		if b[2] == "logrotate.conf" {
			documented = b[3]
		}
	}
	if !strings.Contains(documented, name) || !strings.Contains(documented, signal) {
		t.Fatalf("documented is %s", documented)
	}
	m.write("logrotate.conf", strings.NewReplacer(name, m.access, signal, fmt.Sprint("kill -HUP ", m.cmd.Process.Pid)).Replace(documented))
	if said, err := exec.Command("logrotate", "--force", "--state", m.file("state"), m.file("logrotate.conf")).CombinedOutput(); err != nil || len(said) > 0 {
		t.Fatalf("%v: %s", err, said)
	}
	testkit.Eventually(t, "it is opened again", func() bool {
		_, err := os.Stat(m.access)
		return err == nil
	})
	next := m.request("FR", "GET /").header.Get("X-Request-Id")
	testkit.Eventually(t, "what follows is in the new file", func() bool { return strings.Contains(m.reads(m.access), next) })
	if before := m.reads(m.access + ".1"); !strings.Contains(before, id) || strings.Contains(before, next) {
		t.Errorf("in the file before there is %q", before)
	}
}

// reads returns the content of a file, "" if there is none.
func (m *gatewayProcess) reads(file string) string {
	content, _ := os.ReadFile(file)
	return string(content)
}

func TestTheReaderOfTheAccessLogMayGoAway(t *testing.T) {
	t.Parallel()
	m := newGatewayProcess(t, "")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	m.access, m.stdout = "-", writer
	m.start()
	_ = writer.Close() // the gateway has its own
	id := m.request("FR", "GET /").header.Get("X-Request-Id")
	if line, err := bufio.NewReader(reader).ReadString('\n'); err != nil || !strings.Contains(line, id) || !strings.HasPrefix(line, `{"time":"`) {
		t.Errorf("it reads %q, %v", line, err)
	}
	_ = reader.Close()
	testkit.Eventually(t, "the lines are lost", func() bool {
		if status := m.gets("FR"); status != http.StatusOK {
			t.Fatalf("France gets %d", status)
		}
		return m.metric("exitgate_access_log_lines_lost_total") != "0"
	})
	if len(m.log.Lines("access log can't be written")) != 1 {
		t.Error("it isn't said")
	}
}
