use super::*;

const LEASE: Duration = Duration::from_secs(600);

fn options(visibility_timeout: Duration) -> QueueOptions {
    QueueOptions {
        visibility_timeout,
        batch_size: 1,
        new_batch_threshold: 0,
        max_dequeue_count: 2,
        base64: true,
    }
}

fn texts(queues: &Queues, queue: &str) -> Vec<String> {
    queues.messages(queue).iter().map(|message| message.text(true).unwrap()).collect()
}

#[test]
fn a_message_is_tried_so_often_and_then_put_aside() {
    let queues = Queues::default();
    queues.push("jobs", "one", true).unwrap();
    assert_eq!(queues.messages("jobs")[0].raw, "b25l");
    let first = queues.take("jobs", LEASE, false).unwrap();
    assert!(queues.take("jobs", LEASE, true).is_none(), "in flight");
    first.fail(&options(Duration::from_secs(60)));
    assert!(queues.take("jobs", LEASE, false).is_none(), "not visible yet");
    let second = queues.take("jobs", LEASE, true).unwrap();
    assert_eq!(second.message.dequeue_count, 2);
    second.fail(&options(Duration::ZERO));
    assert!(queues.messages("jobs").is_empty());
    assert_eq!(texts(&queues, "jobs-poison"), ["one"]);
}

#[test]
fn a_lost_deletion_delivers_twice() {
    let queues = Queues::default();
    queues.push("jobs", "one", true).unwrap();
    queues.change(|queues| {
        queues.get_mut("jobs")?.lost_deletions = 1;
        Some(())
    });
    queues.take("jobs", LEASE, false).unwrap().complete();
    let again = queues.take("jobs", LEASE, false).unwrap();
    assert_eq!(again.message.dequeue_count, 2);
    again.complete();
    assert!(queues.messages("jobs").is_empty());
}

#[test]
fn a_dead_host_leaves_its_message_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let queues = Queues::open(folder.path()).unwrap();
    queues.push("jobs", "one", true).unwrap();
    drop(queues.take("jobs", LEASE, false).unwrap());
    let reopened = Queues::open(folder.path()).unwrap();
    assert_eq!(texts(&reopened, "jobs"), ["one"]);
    assert!(reopened.take("jobs", LEASE, false).is_none());
    assert!(reopened.next_visible("jobs").unwrap() > Utc::now() + TimeDelta::minutes(9));
}

#[test]
fn a_message_must_fit() {
    assert!(Queues::default().push("jobs", &"x".repeat(49_153), true).is_err());
    assert!(Queues::default().push("jobs", &"x".repeat(49_152), true).is_ok());
}

#[test]
fn the_call_looks_like_an_observed_one() {
    let queues = Queues::default();
    queues.push("jobs", "hello!!", true).unwrap();
    let lease = queues.take("jobs", LEASE, false).unwrap();
    let function = Function {
        name: "queue".into(),
        input: "queue".into(),
        trigger: Trigger::Queue { queue: "jobs".into() },
        outputs: Vec::new(),
        retry: None,
    };
    let metadata = call(&function, &lease.message, "hello!!", String::new()).metadata;
    assert_eq!(metadata["DequeueCount"], "1");
    assert_eq!(metadata["Id"], format!("\"{}\"", lease.message.id));
    let inserted = metadata["InsertionTime"].as_str().unwrap();
    assert!(inserted.len() == 25 && inserted.ends_with("+00:00"), "{inserted}");
    let names = metadata.keys().map(String::as_str).collect::<Vec<_>>();
    let expected = ["DequeueCount", "ExpirationTime", "Id", "InsertionTime", "NextVisibleTime", "PopReceipt"];
    assert_eq!(names, expected);
}
