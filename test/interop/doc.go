// Package interop checks that Holdfast and Litestream read each other's
// replicas: its tests run both on the same objects, in a directory and in
// Azurite, and compare what they restore byte for byte with what the database
// was.
package interop
