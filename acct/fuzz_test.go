package acct_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sipward/sipward/acct"
)

// FuzzJournal: whatever is in a segment, it is read up to the first thing that is
// no entry, and what is before that means the same without it.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	r, m := open(f, acct.Config{Dir: dir})
	m.fail(errAway)
	up(r, "a")
	up(r, "b")
	r.Bye(forth("b", "callee"))
	r.Begin(invite("c")).Fail(401, "Unauthorized")
	acct.Flush(r)
	data, err := os.ReadFile(segments(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		repair(data)
		size, whole, open := acct.Recover(data)
		if size == 0 {
			return
		}
		again, wholeAgain, openAgain := acct.Recover(data[:len(magic)+size])
		if again != size || !wholeAgain || whole != (len(magic)+size == len(data)) {
			t.Errorf("%d bytes, whole %t; of these %d, whole %t", size, whole, again, wholeAgain)
		}
		if d := cmp.Diff(open, openAgain); d != "" {
			t.Error(d)
		}
	})
}

const magic = "sipward acct 1\n\n"

// repair makes the checksums right, so that the fuzzer gets past them.
func repair(data []byte) {
	for at := len(magic); at+8 <= len(data); {
		n := int(binary.LittleEndian.Uint32(data[at:]))
		if n < 0 || at+8+n > len(data) {
			return
		}
		sum := crc32.Checksum(data[at+8:at+8+n], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(data[at+4:], sum)
		at += 8 + n
	}
}

// FuzzRecord: what can be decoded is what was encoded.
func FuzzRecord(f *testing.F) {
	f.Add(acct.EncodeRecord(acct.Record{}))
	f.Add(acct.EncodeRecord(answered("a", 0, 1, 2, acct.ByCaller)))
	f.Fuzz(func(t *testing.T, entry string) {
		r, err := acct.DecodeRecord(entry)
		if err != nil {
			return
		}
		again, err := acct.DecodeRecord(acct.EncodeRecord(r))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again, addrPorts()); d != "" {
			t.Error(d)
		}
	})
}

// Old journals can be read by new programs: the format is what it was.
func TestRecord_Format(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "record"))
	if err != nil {
		t.Fatal(err)
	}
	want := golden()
	if got := acct.EncodeRecord(want); got != string(text) {
		t.Errorf("got %q, want %q", got, text)
	}
	got, err := acct.DecodeRecord(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, addrPorts()); d != "" {
		t.Error(d)
	}
}

// golden is a record with nothing left out.
func golden() acct.Record {
	return with(answered("call-1@10.1.2.3", 0, 2e9, 7070e6, acct.ByCallee), rang(1e9), legs(2), func(r *acct.Record) {
		r.ID = "019ab0000000abcdef12340000000001"
		r.Direction = acct.ToPhone
		r.Source = pbx2
	})
}
