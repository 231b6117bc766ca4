//! Tests over whole scripts: golden reports of mistakes, golden plans, spellings that mean the same.

#[cfg(test)]
mod bad;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod good;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod world;
