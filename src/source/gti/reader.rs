//! One hour of all lists that are wanted, put together, page by page.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{client::Client, error::GtiError, merge::Hour, package::Package};
use crate::{
    clock::Deadline,
    domain::{
        feeds::Account,
        page::Page,
        window::{Choice, Window},
    },
    http::retry::RetryError,
};

/// Lists read side by side.
const SIDE_BY_SIDE: usize = 3;

/// Reads one hour. Its pages come when every list is read, because only then it is known what is said of a value.
pub struct Reader {
    client: Arc<Client>,
    hour: DateTime<Utc>,
    lists: Choice,
    account: Account,
    /// `None` until the lists are read.
    read: Option<Hour>,
}

impl Reader {
    pub fn new(client: Arc<Client>, window: Window, lists: Choice) -> Self {
        Self { client, hour: window.from, lists, account: Account::new(), read: None }
    }

    /// The next page; `None` after the last one.
    ///
    /// # Errors
    /// A list that could not be read within the patience for a service, or before the deadline.
    pub async fn next_page(&mut self, deadline: &Deadline) -> Result<Option<Page>, RetryError<GtiError>> {
        if self.read.is_none() {
            self.read = Some(self.gather(deadline).await?);
        }
        Ok(self.read.as_mut().and_then(Hour::take_page))
    }

    /// What came of asking each list.
    pub fn account(&self) -> Account {
        self.account.clone()
    }

    /// Reads the lists that are due; if they have records, also those that were read before.
    async fn gather(&mut self, deadline: &Deadline) -> Result<Hour, RetryError<GtiError>> {
        let hour = Mutex::new(Hour::ending(self.hour + super::LIMITS.grain));
        let due = self.lists.due.clone();
        self.ask(&due, &hour, deadline).await?;
        // What was settled before is judged together with what came only now.
        if !hour.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            let beside = self.lists.beside.clone();
            self.ask(&beside, &hour, deadline).await?;
        }
        let mut hour = hour.into_inner().unwrap_or_else(PoisonError::into_inner);
        hour.close();
        Ok(hour)
    }

    async fn ask(
        &mut self,
        lists: &[String],
        into: &Mutex<Hour>,
        deadline: &Deadline,
    ) -> Result<(), RetryError<GtiError>> {
        let (client, hour) = (&self.client, self.hour);
        let mut asked = Vec::new();
        for list in lists {
            let ask = async move {
                let outcome = Package { client, list, hour, into }.read(deadline).await?;
                Ok::<_, RetryError<GtiError>>((list.clone(), outcome))
            };
            asked.push(ask.boxed());
        }
        let outcomes: Vec<_> = stream::iter(asked).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        self.account.extend(outcomes);
        Ok(())
    }
}
