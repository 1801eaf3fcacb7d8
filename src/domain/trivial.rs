//! Digests of trivial content: a rule on one would hit harmless files on every machine.
//!
//! The list is our own, computed from the contents that it names, and a test computes it again. The empty file is also
//! what MISP's warning list "empty-hashes" holds (github.com/MISP/misp-warninglists).

/// What the content is, and its digests by MD5, SHA-1 and SHA-256.
#[rustfmt::skip]
pub const TRIVIAL: [(&str, [&str; 3]); 43] = [
    ("an empty file", ["d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]),
    ("a line end", ["68b329da9893e34099c7d8ad5cb9c940", "adc83b19e793491b1c6ea0fd8b46cd9f32e592fc", "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"]),
    ("a line end", ["81051bcc2cf1bedf378224b0a93e2877", "ba8ab5a0280b953aa97435ff8946cbcbb2755a27", "7eb70257593da06f682a3ddda54a9d260d4fc514f645237f5ca74b08f8da61a6"]),
    ("a line end", ["dcb9be2f604e5df91deb9659bed4748d", "11f4de6b8b45cf8051b1d17fa4cde9ad935cea41", "9d1e0e2d9459d06523ad13e28a4093c2316baafe7aec5b25f30eba2e113599c4"]),
    ("two line ends", ["e1c06d85ae7b8b032bef47e42e4c08f9", "71853c6197a6a7f222db0f1978c7cb232b87c5ee", "75a11da44c802486bc6f65640aa48a730f0f684c5c07a42ba3cd1735eb3fb070"]),
    ("two line ends", ["cb492b7df9b5c170d7c87527940eff3b", "66928e6cbb59c3a3bce606959ef4a865fe04e642", "dba5166ad9db9ba648c1032ebbd34dcd0d085b50023b839ef5c68ca1db93a563"]),
    ("a space", ["7215ee9c7d9dc229d2921a40e899ec5f", "b858cb282617fb0956d960215c8e84d1ccf909c6", "36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068"]),
    ("a tab", ["5e732a1878be2342dbfeff5fe3ca5aa3", "ac9231da4082430afe8f4d40127814c613648d8e", "2b4c342f5433ebe591a1da77e013d1b72475562d48578dca8b84bac6651c3cb9"]),
    ("a byte order mark", ["ecaa88f7fa0bf610a5a26cf545dcd3aa", "57218c316b6921e2cd61027a2387edc31a2d9471", "f1945cd6c19e56b3c1c78943ef5ec18116907a4ca1efc40a57d48ab1db7adfc5"]),
    ("a byte order mark", ["f3b25701fe362ec84616a93a45ce9998", "d62636d8caec13f04e28442a0a6fa1afeb024bbb", "b3d510ef04275ca8e698e5b3cbb0ece3949ef9252f0cdc839e9ee347409a2209"]),
    ("a byte order mark", ["f006096956b5062f8efb72af4df59bc2", "262378002c95ae7e29535cb9f438db219adf98f5", "f197692810d457e297fce9c5653b02581ff99a50852370f29d7e5fe47d9d37e6"]),
    ("a digit", ["cfcd208495d565ef66e7dff9f98764da", "b6589fc6ab0dc82cf12099d1c2d40ab994e8410c", "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"]),
    ("a digit", ["c4ca4238a0b923820dcc509a6f75849b", "356a192b7913b04c54574d18c28d46e6395428ab", "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"]),
    ("an empty JSON object", ["99914b932bd37a50b983c5e7c90ae93b", "bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]),
    ("an empty JSON object", ["8a80554c91d9fca8acb82f023de02f11", "5f36b2ea290645ee34d943220a14b54ee5ea5be5", "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"]),
    ("an empty JSON list", ["d751713988987e9331980363e24189ce", "97d170e1550eee4afc0af065b78cda302a97674c", "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"]),
    ("an empty JSON list", ["58e0494c51d30eb3494f7c9198986bb9", "cd0d4cc32346750408f7d4f5e78ec9a6e5b79a0d", "37517e5f3dc66819f61f5a7bb8ace1921282415f10551d2defa5c3eb0985b570"]),
    ("JSON's null", ["37a6259cc0c1dae299a7866489dff0bd", "2be88ca4242c76e8253ac62474851065032d6833", "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"]),
    ("an empty zip archive", ["76cdb2bad9582d23c1f6f4d868218d6c", "b04f3ee8f5e43fa3b162981b50bb72fe1acabb33", "8739c76e681f900923b900c9df0ef75cf421d39cabb54650c4b9ad19b6a76d85"]),
    ("an empty tar archive", ["1276481102f218c981e0324180bafd9f", "34e163be8e43c5631d8b92e9c43ab0bf0fa62b9c", "84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652"]),
    ("a transparent pixel", ["d89746888da2d9510b64a9f031eaecd5", "d5fceb6532643d0d84ffe09c40c481ecdf59e15a", "ef1955ae757c8b966c83248350331bd3a30f658ced11f387f8ebf05ab3368629"]),
    ("a transparent pixel", ["325472601571f31e1bf00674c368d335", "2daeaa8b5f19f0bc209d976c02bd6acb51b00b0a", "b1442e85b03bdcaf66dc58c7abb98745dd2687d86350be9a298a1d9382ac849b"]),
    ("nothing but zero bytes", ["93b885adfe0da089cdf634904fd59f71", "5ba93c9db0cff93f52b521d7420e43f6eda2784f", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"]),
    ("nothing but zero bytes", ["c4103f122d27677c9db144cae1394a66", "1489f923c4dca729178b3e3233458550d8dddf29", "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"]),
    ("nothing but zero bytes", ["f1d3ff8443297732862df21dc4e57262", "9069ca78e7450a285173431b3e52c5c25299e473", "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119"]),
    ("nothing but zero bytes", ["7dea362b3fac8e00956a4952a3d4f474", "05fe405753166f125559e7c9ac558654f107c7e9", "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"]),
    ("nothing but zero bytes", ["4ae71336e44bf9bf79d2752e234818a5", "e129f27c5103bc5cc44bcdf0a15e160d445066ff", "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb"]),
    ("nothing but zero bytes", ["70bc8f4b72a86921468bf8e8441dce51", "de8a847bff8c343d69b853a215e6ee775ef2ef96", "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"]),
    ("nothing but zero bytes", ["3b5d3c7d207e37dceeedd301e35e2e58", "c8d7d0ef0eedfa82d2ea1aa592845b9a6d4b02b7", "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"]),
    ("nothing but zero bytes", ["f09f35a5637839458e462e6350ecbce4", "0ae4f711ef5d6e9d26c611fd2c8c8ac45ecbf9e7", "38723a2e5e8a17aa7950dc008209944e898f69a7bd10a23c839d341e935fd5ca"]),
    ("nothing but zero bytes", ["348a9791dc41b89796ec3808b5b5262f", "b376885ac8452b6cbf9ced81b1080bfd570d9b91", "5341e6b2646979a70e57653007a1f310169421ec9bdd9f1a5648f75ade005af1"]),
    ("nothing but zero bytes", ["bf619eac0cdf3f68d496ea9344137e8b", "5c3eb80066420002bc3dcc7ca4ab6efad7ed4ae5", "076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560"]),
    ("nothing but zero bytes", ["0f343b0931126a20f133d67c2b018a3b", "60cacbf3d72e1e7834203da608037b1bf83b40e8", "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"]),
    ("nothing but zero bytes", ["c99a74c555371a433d121f551d6c6398", "605db3fdbaff4ba13729371ad0c4fbab3889378e", "e5a00aa9991ac8a5ee3109844d84a55583bd20572ad3ffcd42792f3c36b183ad"]),
    ("nothing but zero bytes", ["620f0b67a91f7f74151bc5be745b7110", "1ceaf73df40e531df3bfb26b4fb7cd95fb7bff1d", "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7"]),
    ("nothing but zero bytes", ["0829f71740aab1ab98b33eae21dee122", "0631457264ff7f8d5fb1edc2c0211992a67c73e6", "9f1dcbc35c350d6027f98be0f5c8b43b42ca52b7604459c0c42be3aa88913d47"]),
    ("nothing but zero bytes", ["ce338fe6899778aacfc28414f2d9498b", "897256b6709e1a4da9daba92b6bde39ccfccd8c1", "4fe7b59af6de3b665b67788cc2f99892ab827efae3a467342b3bb4e3bc8e5bfe"]),
    ("nothing but zero bytes", ["bb7df04e1b0a2570657527a7e108ae23", "5188431849b4613152fd7bdba6a3ff0a4fd6424b", "c35020473aed1b4642cd726cad727b63fff2824ad68cedd7ffb73c7cbd890479"]),
    ("nothing but zero bytes", ["fcd6bcb56c1689fcef28b57c22475bad", "1adc95bebe9eea8c112d40cd04ab7a8d75c4f961", "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31"]),
    ("nothing but zero bytes", ["0dfbe8aa4c20b52e1b8bf3cb6cbdf193", "67dfd19f3eb3649d6f3f6631e44d0bd36b8d8d19", "fa43239bcee7b97ca62f007cc68487560a39e19f74f3dde7486db3f98df8e471"]),
    ("nothing but zero bytes", ["ec87a838931d4d5d2e94a04644788a55", "2e000fa7e85759c7f4c254d4d9c33ef481e459a7", "8a39d2abd3999ab73c34db2476849cddf303ce389b35826850f9a700589b4a90"]),
    ("nothing but zero bytes", ["59071590099d21dd439896592338bf95", "6a521e1d2a632c26e53b83d2cc4b0edecfc1e68c", "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541"]),
    ("nothing but zero bytes", ["b6d81b360a5672d80c27430f39153e2c", "3b71f43ff30f4b15b5cd85dd9e95ebc7e84eb5a3", "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"]),
];

/// What the content is whose digest, in lower case, this is, if it is trivial.
pub fn content(digest: &str) -> Option<&'static str> {
    TRIVIAL.iter().find(|(_, digests)| digests.contains(&digest)).map(|(content, _)| *content)
}
