//! What the source says of one value, by its object. The lists that name it are not asked: categories that are lists'
//! names are missing.

use azure_core::base64;

use super::{
    client::{Client, Told},
    convert::sighting,
    error::GtiError,
    merge::Hour,
    package::patiently,
    wire::Record,
};
use crate::{
    clock::Deadline,
    domain::{
        observable::{HashType, Observable},
        page::Page,
    },
    http::{error::excerpt, retry::RetryError, text::percent_encoded},
    source::lenient::Object,
};

impl Client {
    /// What is known of the value, if anything is.
    ///
    /// # Errors
    /// No answer within the patience for a service, or before the deadline; or the licence does not give objects.
    pub async fn look_up(
        &self,
        observable: &Observable,
        deadline: &Deadline,
    ) -> Result<Page, RetryError<GtiError>> {
        let value = observable.subject(HashType::Sha256).value;
        let path = match observable {
            Observable::File(_) => format!("files/{value}"),
            Observable::Url(url) => format!("urls/{}", url_id(url)),
            Observable::Domain(_) => format!("domains/{}", percent_encoded(&value)),
            Observable::Ipv4(_) | Observable::Ipv6(_) => format!("ip_addresses/{}", percent_encoded(&value)),
        };
        let path = path.as_str();
        patiently(deadline, || async move {
            let mut body = Vec::new();
            let told = self.get(path, &mut |part| body.extend_from_slice(part)).await?;
            match told {
                Told::Answered(_) => self.page(&body),
                Told::NotFound | Told::NotYet => Ok(Page::default()),
                Told::Forbidden => Err(GtiError::BadRequest {
                    told: "the licence of the key does not let it look up single values".to_owned(),
                }),
            }
        })
        .await
    }

    fn page(&self, body: &[u8]) -> Result<Page, GtiError> {
        let Object(record): Object<Record<'_>> =
            serde_json::from_slice(body).map_err(|error| GtiError::Unreadable {
                reason: format!("{error}; it begins {:?}", excerpt(&body[..body.len().min(80)])),
            })?;
        let now = self.clock.now();
        let mut found = Hour::ending(now);
        found.add(sighting(&record, "", now));
        found.close();
        Ok(found.take_page().unwrap_or_default())
    }
}

/// The id of a URL: its base64 with the alphabet for addresses, without padding (RFC 4648 §5).
fn url_id(url: &str) -> String {
    base64::encode(url).trim_end_matches('=').replace('+', "-").replace('/', "_")
}
