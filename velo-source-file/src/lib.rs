//! Files as tables, streams and sinks of Velo.
