//! Values of the kinds the feed knows, made up but plausible.

use rand::RngExt;

use super::{generate::Generator, record::Record};

impl Generator {
    pub(super) fn hexadecimal(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b"0123456789abcdef"[self.dice.random_range(0..16)])).collect()
    }

    fn word(&mut self) -> String {
        const SYLLABLES: [&str; 24] = [
            "ba", "co", "di", "fu", "ga", "hel", "in", "jo", "ka", "lu", "mar", "net", "o", "pol", "qua",
            "ras", "sol", "ter", "u", "vex", "wi", "xan", "ya", "zen",
        ];
        let length = self.dice.random_range(2..5);
        (0..length).map(|_| self.pick(&SYLLABLES)).collect()
    }

    pub(super) fn domain(&mut self) -> String {
        let mut name = format!("{}-{}", self.word(), self.word());
        if self.chance(0.3) {
            name = format!("{}.{name}", self.word());
        }
        if self.chance(0.2) {
            name = format!("{name}{}", self.dice.random_range(0..1000));
        }
        let tld =
            self.pick(&["com", "com", "com", "net", "org", "info", "ru", "top", "xyz", "onion.ly", "co.uk"]);
        format!("{name}.{tld}")
    }

    pub(super) fn web_address(&mut self) -> String {
        let scheme = self.pick(&["http", "http", "https"]);
        let domain = self.domain();
        let path = match self.dice.random_range(0..4) {
            0 => format!("{}/{}.php", self.word(), self.word()),
            1 => format!("{}.exe", self.hexadecimal(12)),
            2 => format!("wp-content/{}?id={}&x={}", self.word(), self.hexadecimal(8), self.word()),
            _ => format!("{}/", self.word()),
        };
        format!("{scheme}://{domain}/{path}")
    }

    /// An address that is clearly neither private nor reserved.
    pub(super) fn public_ipv4(&mut self) -> String {
        let first = loop {
            let first: u8 = self.dice.random_range(11..224);
            if ![100, 127, 169, 172, 192, 198, 203].contains(&first) {
                break first;
            }
        };
        let [second, third, fourth]: [u8; 3] = self.dice.random();
        format!("{first}.{second}.{third}.{fourth}")
    }

    fn public_ipv6(&mut self) -> String {
        let groups: [u16; 4] = self.dice.random();
        let [a, b, c, d] = groups;
        format!("{}:{a:x}:{b:x}::{c:x}:{d:x}", self.pick(&["2a00", "2a02", "2604", "2607", "240e"]))
    }

    pub(super) fn value(&mut self) -> Record {
        match self.dice.random_range(0..100) {
            0..30 => Record::ipv4(&self.public_ipv4()),
            30..58 => Record::fqdn(&self.domain()),
            58..78 => Record::url(&self.web_address()),
            78..97 => self.file(),
            _ => Record::ipv6(&self.public_ipv6()),
        }
    }

    pub(super) fn file(&mut self) -> Record {
        let hashes = [self.hexadecimal(32), self.hexadecimal(40), self.hexadecimal(64)];
        // A file of which Mandiant only knows the MD5 is rare but real.
        let complete = self.chance(0.95);
        Record::file(Some(&hashes[0]), complete.then_some(&*hashes[1]), complete.then_some(&*hashes[2]))
    }
}
