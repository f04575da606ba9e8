//! Fates over an export, and over a reader that does as it is told.
