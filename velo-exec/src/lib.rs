//! A streaming plan as a running dataflow: operators, windows, state, watermarks.
