package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// This file is for editors: what a build file says where, read from its words
// alone. Nothing is parsed, so a file that is half written is read as well as a
// whole one, and what is wrong is said by Load and not here.

// A Role is what a word of a build file is.
type Role int

const (
	// RoleBlock is the type of a block: target in target "api" {.
	RoleBlock Role = iota + 1
	// RoleLabel is a label of a block, without quotes.
	RoleLabel
	// RoleAttribute is the name of an attribute.
	RoleAttribute
	// RoleKey is a key of an object, without quotes.
	RoleKey
	// RoleName is the first name of an expression: VERSION, target in target.api.
	RoleName
	// RoleMember is a name after a dot, or a text in brackets after a name.
	RoleMember
	// RoleCall is the name of a function that is called.
	RoleCall
	// RoleText is a text without expressions in it, without quotes.
	RoleText
)

// A Word is a name or a text of a build file.
type Word struct {
	Role  Role
	Text  string
	Range hcl.Range
	Place
}

// A Place says where something stands.
type Place struct {
	// Blocks are the blocks around it, outermost first. The words of a block's
	// header are in it.
	Blocks []BlockPlace
	// Attribute is the attribute it is in the value of, else "".
	Attribute string
	// Keys are the keys of the objects it is in, outermost first.
	Keys []string
	// Path are the names before it: target, api before tags in target.api.tags.
	Path []string
}

// A BlockPlace is a block that something stands in.
type BlockPlace struct {
	Type   string
	Labels []string
	Header hcl.Range // from the type to the last label
}

// Block is the innermost block of the place, the zero value if there is none.
func (p Place) Block() BlockPlace {
	if len(p.Blocks) == 0 {
		return BlockPlace{}
	}
	return p.Blocks[len(p.Blocks)-1]
}

// Key is the innermost key of the place, else "".
func (p Place) Key() string {
	if len(p.Keys) == 0 {
		return ""
	}
	return p.Keys[len(p.Keys)-1]
}

// Words lists the words of a build file in HCL, in their order.
func Words(name string, data []byte) []Word {
	if tooLarge(data) != nil {
		return nil
	}
	return scanWords(name, data).words
}

// A Want is what could be written at a place.
type Want int

const (
	// WantNothing is a comment, a here-document or a number.
	WantNothing Want = iota
	// WantItem is an attribute or a block.
	WantItem
	// WantLabel is the label of the innermost block of the place.
	WantLabel
	// WantKey is a key of an object.
	WantKey
	// WantValue is an expression.
	WantValue
	// WantMember is what can follow Path and a dot.
	WantMember
	// WantText is what can stand in a text.
	WantText
)

// A Cursor is a place between two characters of a build file, with the part of
// the word before it.
type Cursor struct {
	Want   Want
	Prefix string
	// Item are the words of a block's header so far, for WantItem.
	Item []string
	Place
}

// CursorAt tells what stands before the byte at offset in a build file in HCL,
// and what could be written there. What follows it does not matter.
func CursorAt(data []byte, offset int) Cursor {
	if tooLarge(data) != nil || offset < 0 || offset > len(data) {
		return Cursor{}
	}
	return scanWords("", data[:offset]).cursor(offset)
}

// At is the word at offset: the one that begins before or at it and ends after
// or at it.
func At(words []Word, offset int) (Word, bool) {
	i, found := slices.BinarySearchFunc(words, offset, func(w Word, at int) int {
		switch {
		case w.Range.End.Byte < at:
			return -1
		case w.Range.Start.Byte > at:
			return 1
		}
		return 0
	})
	if !found {
		return Word{}, false
	}
	if i+1 < len(words) && words[i+1].Range.Start.Byte == offset {
		i++ // of two that touch, the second begins here
	}
	return words[i], true
}
