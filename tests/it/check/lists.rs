//! What `check` says of the lists of what is never sent.

use mati_sync::check::Verdict;

use super::{findings, of};
use crate::harness::world::World;

#[tokio::test(start_paused = true)]
async fn check_names_every_list_with_its_size_and_the_line_that_cannot_be_read() {
    let mut world = World::new();
    assert_eq!(of(&findings(&world).await, "exclusions").result, "there are none");
    world.set("TARGET_APPLICATION", "sentinel,defender").set("EXCLUDE", "own.example, 203.0.113.0/24");
    let folder = world.state.path().join("exclusions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.txt"), "# ours\nmail.example\n").unwrap();
    let list = r#"{"type": "string", "matching_attributes": ["domain"], "list": ["a.example", "no name of a host"]}"#;
    std::fs::write(folder.join("products.json"), list).unwrap();
    let told = of(&findings(&world).await, "exclusions").clone();
    assert_eq!(
        (told.verdict, told.result.as_str()),
        (
            Verdict::Ok,
            "EXCLUDE (2), own.txt (1), products.json (2, of which 1 can equal no indicator), EXCLUDE_VITAL for defender"
        )
    );
    std::fs::write(folder.join("own.txt"), "mail.example\n203.0.113.0/99\n").unwrap();
    let told = of(&findings(&world).await, "exclusions").clone();
    assert_eq!(told.verdict, Verdict::Failed);
    assert!(told.result.contains("exclusions/own.txt, line 2: "), "{}", told.result);
}
