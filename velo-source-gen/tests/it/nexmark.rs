//! The events of the benchmark: proportions, numbers, hot ones, sizes, times; whole and kind by kind.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, StructArray};
use velo_core::Batch;
use velo_source_gen::NexmarkConnector;

use crate::reading::{Pairs, bind, mistakes, read, schema, texts};

async fn events(pairs: Pairs<'_>) -> Batch {
    let schema = bind(&NexmarkConnector, pairs).infer_schema().await.unwrap();
    read(&NexmarkConnector, pairs, &schema, 8_192, None).await
}

fn integers(of: &StructArray, name: &str) -> Vec<Option<i64>> {
    of.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn structs<'a>(batch: &'a Batch, name: &str) -> &'a StructArray {
    batch.columns.column_by_name(name).unwrap().as_struct()
}

#[tokio::test]
async fn each_event_is_of_one_kind() {
    let batch = events(&[("events", "100000")]).await;
    let kinds = batch.columns.column(0).as_primitive::<Int32Type>();
    let count = |kind: i32| kinds.values().iter().filter(|found| **found == kind).count();
    assert_eq!([0, 1, 2].map(count), [2_000, 6_000, 92_000]);
    for (at, name) in ["person", "auction", "bid"].into_iter().enumerate() {
        let of = structs(&batch, name);
        for row in 0..batch.rows() {
            let is = kinds.value(row) == at as i32;
            assert_eq!(of.is_valid(row), is);
            assert!(of.columns().iter().all(|column| column.is_valid(row) == is), "also inside");
        }
    }
    // Persons and auctions are numbered from 1000 on.
    let ids: Vec<i64> = integers(structs(&batch, "person"), "id").into_iter().flatten().collect();
    assert_eq!(ids, (1_000..3_000).collect::<Vec<_>>());
    let ids: Vec<i64> = integers(structs(&batch, "auction"), "id").into_iter().flatten().collect();
    assert_eq!(ids, (1_000..7_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn bids_are_for_what_is_there_and_mostly_for_what_is_hot() {
    let batch = events(&[("events", "200000"), ("nexmark.table", "bid")]).await;
    assert_eq!(batch.rows(), 184_000);
    let column = |name: &str| batch.columns.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().clone();
    let (auctions, bidders, prices) = (column("auction"), column("bidder"), column("price"));
    let (mut hot_auctions, mut hot_bidders) = (0, 0);
    for row in 0..batch.rows() {
        let round = (row / 46) as i64;
        let (newest_auction, newest_person) = (1_000 + 3 * round + 2, 1_000 + round);
        assert!((newest_auction - 100..=newest_auction + 10).contains(&auctions[row]) || auctions[row] % 100 == 0);
        assert!((newest_person - 1_000..=newest_person + 10).contains(&bidders[row]));
        assert!((100..=100_000_000).contains(&prices[row]));
        hot_auctions += usize::from(auctions[row] == newest_auction / 100 * 100);
        hot_bidders += usize::from(bidders[row] == newest_person / 100 * 100 + 1);
    }
    // One of two is hot by its ratio, three of four, and some others by chance.
    assert!((0.49..0.53).contains(&(hot_auctions as f64 / batch.rows() as f64)), "{hot_auctions}");
    assert!((0.74..0.77).contains(&(hot_bidders as f64 / batch.rows() as f64)), "{hot_bidders}");
    let small = prices.iter().filter(|price| **price < 100_000).count() as f64 / batch.rows() as f64;
    assert!((0.49..0.51).contains(&small), "half of the prices are below the middle magnitude: {small}");
    let sizes = ["channel", "url", "extra"].map(|name| {
        let texts = batch.columns.column_by_name(name).unwrap().as_string::<i32>();
        texts.value_data().len() / texts.len()
    });
    assert!(sizes[2] > 65 && sizes[2] < 71, "100 bytes less those of the numbers: {sizes:?}");
}

#[tokio::test]
async fn auctions_have_sellers_reserves_and_ends() {
    let batch = events(&[("events", "100000"), ("table", "auction")]).await;
    let column = |name: &str| batch.columns.column_by_name(name).unwrap();
    let number = |name: &str| column(name).as_primitive::<Int64Type>().values().clone();
    let time = |name: &str| column(name).as_primitive::<TimestampMicrosecondType>().values().clone();
    let (first, reserve, seller) = (number("initialBid"), number("reserve"), number("seller"));
    let (opened, expires) = (time("dateTime"), time("expires"));
    let mut categories: HashMap<i64, usize> = HashMap::new();
    for row in 0..batch.rows() {
        assert!(reserve[row] > first[row]);
        // A hundred auctions take 166 ms, and one can last twice as long.
        let length = expires[row] - opened[row];
        assert!((1_000..=335_000).contains(&length), "{length}");
        assert!(seller[row] >= 1_000 && seller[row] <= 1_010 + (row / 3) as i64);
        *categories.entry(number("category")[row]).or_default() += 1;
    }
    let mut found: Vec<_> = categories.into_iter().collect();
    found.sort_unstable();
    assert_eq!(found.iter().map(|(category, _)| *category).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    assert!(found.iter().all(|(_, count)| (1_050..1_350).contains(count)), "{found:?}");
    let bytes: usize = ["itemName", "description", "extra"]
        .iter()
        .map(|name| column(name).as_string::<i32>().value_data().len())
        .sum();
    assert!(
        (440..470).contains(&(bytes / batch.rows())),
        "500 bytes less those of the numbers: {}",
        bytes / batch.rows()
    );
}

#[tokio::test]
async fn one_kind_alone_is_that_kind_of_all() {
    for group in ["1", "7"] {
        let shared = [("events", "30000"), ("seed", "5"), ("out.of.order.group.size", group)];
        let all = events(&shared).await;
        for name in ["person", "auction", "bid"] {
            let mut pairs = shared.to_vec();
            pairs.push(("nexmark.table", name));
            let alone = events(&pairs).await;
            let of = structs(&all, name);
            let there: Vec<u32> = (0..all.rows() as u32).filter(|row| of.is_valid(*row as usize)).collect();
            assert_eq!(alone.rows(), there.len());
            let text = texts(&alone);
            let columns: Vec<_> = of.columns().to_vec();
            for (row, at) in there.iter().enumerate() {
                let values =
                    columns.iter().map(|column| velo_core::table_text::value_text(column, *at as usize).unwrap());
                assert_eq!(text[row], values.collect::<Vec<_>>().join(" "));
            }
        }
    }
}

#[tokio::test]
async fn times_go_by_the_rate_and_are_out_of_order_only_where_asked() {
    let times = async |pairs: Pairs<'_>| {
        let batch = read(&NexmarkConnector, pairs, &schema("_timestamp:TIMESTAMP").clone(), 8_192, None).await;
        batch.columns.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec()
    };
    let plain = times(&[("events", "1001"), ("event.rate", "500")]).await;
    assert_eq!((plain[0], plain[1_000]), (1_436_918_400_000_000, 1_436_918_402_000_000));
    assert!(plain.is_sorted());
    let shuffled = times(&[("events", "1000"), ("event.rate", "500"), ("out.of.order.group.size", "50")]).await;
    assert!(!shuffled.is_sorted());
    let mut sorted = shuffled.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, plain[..1_000]);
    assert!(
        shuffled.chunks(50).zip(plain.chunks(50)).all(|(group, ordered)| group.iter().max() == ordered.iter().max())
    );
}

/// Any event can be the first, in the middle of a group that is out of order too.
#[tokio::test]
async fn rows_do_not_depend_on_where_reading_began() {
    let shared = [("events", "20000"), ("seed", "3"), ("out.of.order.group.size", "30")];
    let all = events(&shared).await;
    let marks = [1, 29, 30, 31, 49, 50, 51, 8_191, 8_192, 8_193, 12_345, 19_999, 20_000];
    for name in ["all", "person", "auction", "bid"] {
        let mut pairs = shared.to_vec();
        pairs.push(("nexmark.table", name));
        let whole = if name == "all" { all.clone() } else { events(&pairs).await };
        let declared = bind(&NexmarkConnector, &pairs).infer_schema().await.unwrap();
        for from in marks {
            let rest = read(&NexmarkConnector, &pairs, &declared, 100, Some(from)).await;
            let left =
                (from as usize..all.rows()).filter(|row| name == "all" || structs(&all, name).is_valid(*row)).count();
            assert_eq!(rest.rows(), left, "{name} from event {from}");
            assert_eq!(rest.columns, whole.columns.slice(whole.rows() - left, left), "{name} from event {from}");
        }
    }
}

#[tokio::test]
async fn columns_can_be_left_out_of_a_declaration() {
    let whole = events(&[("events", "500")]).await;
    let declared = schema("EVENT_TYPE:INT \"bid:STRUCT<price BIGINT, auction BIGINT>\"");
    let part = read(&NexmarkConnector, &[("events", "500")], &declared, 100, None).await;
    assert_eq!(integers(structs(&part, "bid"), "price"), integers(structs(&whole, "bid"), "price"));
    assert_eq!(integers(structs(&part, "bid"), "auction"), integers(structs(&whole, "bid"), "auction"));
    assert_eq!(part.columns.column(0), whole.columns.column(0));
}

#[test]
fn columns_that_are_not_made_are_told_while_planning() {
    let wrong = |columns: &str, pairs: Pairs<'_>| mistakes(&NexmarkConnector, pairs, &schema(columns));
    assert_eq!(wrong("event_tpye:INT", &[]), ["nexmark makes no column 'event_tpye' | did you mean 'event_type'?"]);
    assert_eq!(
        wrong("\"bid:STRUCT<prise BIGINT, bidder INT>\"", &[]),
        [
            "nexmark makes no column 'bid.prise' | did you mean 'bid.price'?",
            "'bid.bidder' is declared INT, and nexmark makes BIGINT | declare it BIGINT, or leave all columns out"
        ]
    );
    assert_eq!(wrong("name:STRING id:BIGINT", &[("table", "person")]), [] as [&str; 0]);
    assert_eq!(wrong("id:BIGINT", &[("table", "persn")]).len(), 1);
    assert_eq!(
        wrong("event_type:INT", &[("person.proportion", "0")]),
        ["'person.proportion' is 0, and must be 1 or more: every auction and bid is by a person | "]
    );
}
