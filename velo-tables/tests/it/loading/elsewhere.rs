//! Tables that a query feeds: they pass on readiness, and failures.

use std::sync::Arc;

use velo_core::Clock;
use velo_core::lookup::{TableReader, TableWriter};
use velo_core::progress::Progress;
use velo_tables::{Feed, TableState};
use velo_testkit::drive;
use velo_testkit::loads::LoadStep::Takes;

use super::feeds::{SECOND, content, empty, fed, give, seconds, spec, start, until};

#[tokio::test]
async fn a_query_between_two_tables() {
    let clock = Clock::manual(0);
    let first = fed("a", &clock, |script| script.whole([Takes(seconds(3)), give("+I 1 1")]));
    let (reader, mut writer) = empty("b");
    let progress = Arc::new(Progress::new());
    let feed = Feed::Elsewhere { reader: reader as Arc<dyn TableReader>, progress: vec![Arc::clone(&progress)] };
    let last = fed("c", &clock, |script| script.whole([give("+I 3 3")]));
    let third = Arc::clone(&last.reader);
    let tables = start(vec![first.spec("a", &[]), spec("b", &[0], feed), last.spec("c", &[1])], &clock);
    until(&clock, SECOND).await;
    assert_eq!(tables.status()[1].state, TableState::Waiting { on: vec!["a".to_owned()] });
    assert_eq!(tables.status()[2].state, TableState::Waiting { on: vec!["b".to_owned()] });
    until(&clock, 10 * SECOND).await;
    assert_eq!(tables.status()[1].state, TableState::Loading);
    Progress::add(&progress.records, 7);
    assert_eq!(tables.status()[1].records, 7);
    assert_eq!(content(&*third), "");
    writer.ready().await.unwrap();
    drive(&clock, tables.settled()).await;
    assert_eq!(content(&*third), "3=3");
}

#[tokio::test]
async fn a_query_that_fails_blocks_what_needs_it() {
    let clock = Clock::manual(0);
    let (reader, mut writer) = empty("a");
    let feed = Feed::Elsewhere { reader: reader as Arc<dyn TableReader>, progress: Vec::new() };
    let next = fed("b", &clock, |script| script.whole([give("+I 3 3")]));
    let tables = start(vec![spec("a", &[], feed), next.spec("b", &[0])], &clock);
    writer.fail("its statement failed: division by zero".to_owned());
    drive(&clock, tables.settled()).await;
    let states = tables.status();
    assert!(matches!(&states[0].state, TableState::Failed { error } if error.contains("division by zero")));
    assert_eq!(states[1].state, TableState::Blocked { by: "a".to_owned() });
}
