package archive

// NewTextReader is NewReader for lines that are not compressed.
var NewTextReader = newReader
