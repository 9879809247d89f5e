// Package config reads the configuration of mlstunnel: a file in YAML. Whatever is wrong with it is an
// [Error] that names the file, the line and the field; a key that it does not know is wrong. There are no
// secrets in it, only the names of files that hold some.
//
//	bytes -> decode: YAML into a File, remembering the line of each field
//	      -> inherit: what a forward does not say comes from the top of the file
//	      -> check: what goes together, and what is missing
package config
