package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compWords stands for the package bash-completion where that is not installed.
const compWords = `declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
	words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
}
`

// TestCompletionInBash loads the script of "imagery completion bash" into a real bash, and completes command lines.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	dir := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(dir, "imagery")); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"imagery st":         "status",
		"imagery dlq re":     "redrive",
		"imagery fsck --rep": "--repair",
		"imagery -role wo":   "worker",
	} {
		words := strings.Fields(line)
		script := compWords + `eval "$(imagery completion bash)"` + "\nCOMP_WORDS=(" + line + ") COMP_CWORD=" +
			string(rune('0'+len(words)-1)) + " COMP_LINE='" + line + "' COMP_POINT=${#COMP_LINE} COMP_TYPE=9\n" +
			`__start_imagery && echo "${COMPREPLY[*]}"`
		cmd := exec.Command(bash, "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %q, %v; want %q", line, out, err, want)
		}
	}
}
