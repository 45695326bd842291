//! Binding of cairnlog.
