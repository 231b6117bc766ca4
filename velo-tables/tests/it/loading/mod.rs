//! Tables being loaded and kept, from scripted sources and from files, by a clock that the test moves.

mod bad_records;
mod chaos;
mod elsewhere;
mod events;
mod feeds;
mod files;
mod gate;
mod graph;
mod refresh;
mod retry;
mod schedule;
