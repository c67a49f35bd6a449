// Package archtest holds the rules of this module that a compiler does not
// check, as tests: which package may import which, what library packages must
// not do, that documentation exists and that what it says is true. Each file
// is one rule. A rule about a package that does not exist passes.
package archtest
