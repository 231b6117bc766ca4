//! A SQL script as a running job.
