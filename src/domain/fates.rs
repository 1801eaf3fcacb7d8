//! The fates of records on their way: a record has its fate once every object that it calls for has one.

use std::collections::HashMap;

use super::{
    outcome::Fate,
    plan::{Plan, Planned},
};

/// Records of which something is still sent, by numbers that no two pages share.
#[derive(Debug, Default)]
pub struct Fates {
    open: HashMap<usize, Open>,
    next: usize,
}

/// A record that has no fate yet.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Its objects that were not answered yet.
    objects: usize,
    /// The strongest fate of the others.
    fate: Option<Fate>,
}

impl Fates {
    /// Begins to wait for the fates of the records of a page, and numbers them anew.
    pub fn await_page(&mut self, plan: &mut Plan) {
        let first = self.next;
        for item in &mut plan.send {
            item.record += first;
            self.next = self.next.max(item.record + 1);
            if item.change.is_fate() {
                self.await_one(item.record);
            }
        }
        plan.beside.iter().for_each(|(record, fate)| self.note(first + record, *fate));
    }

    /// Notes what became of `item`. Returns the fate of its record if it has that now; what is displaced is no record that
    /// was read.
    pub fn close(&mut self, item: &Planned, fate: Fate) -> Option<Fate> {
        item.change.is_fate().then(|| self.close_one(item.record, fate)).flatten()
    }

    fn await_one(&mut self, record: usize) {
        self.open.entry(record).or_default().objects += 1;
    }

    /// Notes that `record` has `fate` as well, if anything is sent for it.
    fn note(&mut self, record: usize, fate: Fate) {
        if let Some(open) = self.open.get_mut(&record) {
            open.fate = open.fate.max(Some(fate));
        }
    }

    fn close_one(&mut self, record: usize, fate: Fate) -> Option<Fate> {
        self.note(record, fate);
        let open = self.open.get_mut(&record)?;
        open.objects -= 1;
        if open.objects > 0 {
            return None;
        }
        self.open.remove(&record)?.fate
    }

    /// How many records have no fate yet.
    pub fn open(&self) -> u64 {
        self.open.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::filter::DropReason;

    fn fate() -> impl Strategy<Value = Fate> {
        prop::sample::select(vec![
            Fate::Dropped(DropReason::Confidence),
            Fate::Unchanged,
            Fate::Retracted,
            Fate::Renewed,
            Fate::Updated,
            Fate::Created,
            Fate::OverLimit,
            Fate::Rejected,
        ])
    }

    proptest! {
        /// In whatever order the answers come, every record gets its strongest fate, once, with the last of them.
        #[test]
        fn a_record_has_one_fate_the_strongest(
            records in prop::collection::vec((prop::collection::vec(fate(), 1..4), prop::option::of(fate())), 1..20),
            order in any::<prop::sample::Index>(),
        ) {
            let (mut fates, mut answers) = (Fates::default(), Vec::new());
            for (record, (objects, beside)) in records.iter().enumerate() {
                objects.iter().for_each(|_| fates.await_one(record));
                beside.iter().for_each(|beside| fates.note(record, *beside));
                answers.extend(objects.iter().map(|fate| (record, *fate)));
            }
            let first = order.index(answers.len());
            answers.rotate_left(first);
            let mut told: Vec<Vec<Fate>> = vec![Vec::new(); records.len()];
            for (record, fate) in answers {
                told[record].extend(fates.close_one(record, fate));
            }
            for (told, (objects, beside)) in told.iter().zip(&records) {
                let strongest = objects.iter().chain(beside).max().copied();
                prop_assert_eq!(told, &Vec::from_iter(strongest));
            }
            prop_assert_eq!(fates.open(), 0);
        }
    }
}
