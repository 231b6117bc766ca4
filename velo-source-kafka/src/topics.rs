//! Topics that are written: whether they are there, and made where they are to be.

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use velo_core::error::ErrorKind;
use velo_core::{Clock, ConnectorError, Result};

use crate::cluster::{AGAIN, Client, Cluster, HEARD, REQUEST, Said, topic_name};
use crate::properties::KafkaSinkProperties;

/// Sees to it that a topic can be written.
pub(crate) async fn see_to(cluster: &Cluster, topic: &str, properties: &KafkaSinkProperties) -> Result<()> {
    let looking = cluster.consumer(&[("group.id", "velo"), ("allow.auto.create.topics", "false")])?;
    let clock = Clock::system();
    let heard = clock.after(HEARD);
    while is_led(&looking, topic).await?.is_none() {
        if properties.create {
            return make(cluster, &looking, topic, properties).await;
        }
        if clock.now() >= heard {
            let message = format!("{} has no topic '{topic}'", cluster.name());
            return Err(ConnectorError::new(ErrorKind::NotFound, "opening the output", message)
                .advise("create it, or have Velo do so: 'topic.create' = 'true'"));
        }
        clock.sleep(AGAIN).await;
    }
    Ok(())
}

/// Makes a topic, and waits until its partitions have leaders.
async fn make(
    cluster: &Cluster,
    looking: &Client<BaseConsumer<Said>>,
    topic: &str,
    properties: &KafkaSinkProperties,
) -> Result<()> {
    let admin = cluster.admin()?;
    // As many as the cluster gives by itself: KIP-464.
    let count = |count: Option<u32>| count.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX));
    let replication = TopicReplication::Fixed(count(properties.replication));
    let mut new = NewTopic::new(topic, count(properties.partitions), replication);
    for (name, value) in properties.settings.iter().flat_map(|settings| &settings.0) {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
    let made = admin.client.create_topics([&new], &options).await;
    let made = made.map_err(|error| admin.failed("creating a topic", &topic_name(topic), &error))?;
    for result in made {
        match result {
            // Somebody else was quicker.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let error = rdkafka::error::KafkaError::AdminOp(code);
                return Err(admin.failed("creating a topic", &topic_name(&name), &error));
            }
        }
    }
    // A broker may answer before the others know.
    let clock = Clock::system();
    let until = clock.after(REQUEST);
    while is_led(looking, topic).await? != Some(true) && clock.now() < until {
        clock.sleep(AGAIN).await;
    }
    Ok(())
}

/// Whether all partitions of a topic have a leader; `None` where there is no such topic.
async fn is_led(looking: &Client<BaseConsumer<Said>>, topic: &str) -> Result<Option<bool>> {
    let metadata = looking.metadata(Some(topic)).await?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && !found.partitions().is_empty());
    Ok(found.map(|found| found.partitions().iter().all(|partition| partition.leader() >= 0)))
}
