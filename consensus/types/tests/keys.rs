//! Wallets and addresses.

mod common;

use ao_types::id::BadAddress;
use ao_types::wallet::{EthereumWallet, WalletError};
use ao_types::{Address, DataItem, Id, ItemBuilder, Profile, ResultHash, Signer, StateHash, Wallet};

fn round_trip(wallet: &Wallet) {
    let text = wallet.to_jwk();
    let again = Wallet::from_jwk(&text).unwrap();
    assert_eq!(again.owner(), wallet.owner());
    assert_eq!(*again.to_jwk(), *text);
    let item = ItemBuilder::new().data("x").sign(&again).unwrap();
    assert_eq!(item.address(), wallet.address());
    DataItem::parse(item.as_bytes().clone(), Profile::Strict).unwrap().verify().unwrap();
    assert!(!format!("{wallet:?}").contains(text.split("\"d\":\"").nth(1).unwrap().split('"').next().unwrap()), "no secret in Debug");
}

#[test]
fn generated_keys_sign_and_survive_a_file() {
    round_trip(&Wallet::generate_ed25519().unwrap());
    round_trip(&Wallet::generate_ethereum().unwrap());
    round_trip(&Wallet::generate_rsa().unwrap());
    assert_ne!(Wallet::generate_ed25519().unwrap().owner(), Wallet::generate_ed25519().unwrap().owner());
}

#[test]
fn deterministic_keys_give_the_same_item_twice() {
    for wallet in [Wallet::ed25519_from_seed(&[5; 32]), Wallet::Ethereum(EthereumWallet::from_secret(&[5; 32]).unwrap())] {
        let sign = || ItemBuilder::new().tag("a", "b").data("x").sign(&wallet).unwrap().id();
        assert_eq!(sign(), sign());
    }
}

#[test]
fn unsound_keys_are_refused_when_they_are_loaded() {
    let mut parts = common::load("keys.TEST-ONLY.json")["rsa"][0]["jwk"].clone();
    let q = parts["q"].clone();
    parts["q"] = parts["p"].clone();
    assert!(matches!(Wallet::from_jwk(&parts.to_string()), Err(WalletError::Unsound(_))));
    parts["q"] = q;
    parts["e"] = "Aw".into();
    assert_eq!(Wallet::from_jwk(&parts.to_string()).unwrap_err(), WalletError::Unsound("the public exponent is not 65537"));
    parts.as_object_mut().unwrap().remove("d");
    assert_eq!(Wallet::from_jwk(&parts.to_string()).unwrap_err(), WalletError::Member("d"));
    assert!(matches!(Wallet::from_jwk(r#"{"kty":"EC","crv":"P-256"}"#), Err(WalletError::Kind { .. })));
    assert!(matches!(Wallet::from_jwk("secret stuff"), Err(WalletError::NotJson { line: 1, .. })));
    assert!(EthereumWallet::from_secret(&[0; 32]).is_err());
    assert!(EthereumWallet::from_secret(&[0xff; 32]).is_err());
    let swapped = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}","d":"{}"}}"#, Id([1; 32]), Id([2; 32]));
    assert!(matches!(Wallet::from_jwk(&swapped), Err(WalletError::Unsound(_))));
}

#[test]
fn addresses_have_one_text_form_each() {
    // From EIP-55.
    for text in ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"] {
        let address = Address::parse(text).unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(Address::parse(&text.to_lowercase()), Ok(address));
        assert_eq!(Address::parse(&format!("0x{}", text[2..].to_uppercase())), Ok(address));
        let wrong = text.replacen('A', "a", 1).replacen('B', "b", 1);
        assert_eq!(Address::parse(&wrong), Err(BadAddress::Checksum { found: wrong.clone(), expected: text.to_owned() }));
    }
    let id = Id([3; 32]);
    assert_eq!(id.to_string().parse(), Ok(Address::Arweave(id)));
    let begins_like_the_other = "0xYuEWh7WFqxpz9EIf-zuUFaJ6aED9iZTQCzZSSUqCc";
    assert_eq!(Address::parse(begins_like_the_other), Ok(Address::Arweave(Id::parse(begins_like_the_other).unwrap())));
    for bad in ["", "0x", "0x12", "x", &"A".repeat(44), "0xzz", &"=".repeat(43)] {
        assert!(matches!(Address::parse(bad), Err(BadAddress::Form { .. })), "{bad}");
    }
    // The last character carries two bits of nothing: they must be zero, or an id would have four texts.
    assert!(Id::parse(&format!("{}B", "A".repeat(42))).is_err());
}

#[test]
fn texts_in_json_and_bytes_elsewhere() {
    let address = Address::Ethereum([7; 20]);
    let json = serde_json::to_string(&address).unwrap();
    assert_eq!(json, format!("\"{address}\""));
    assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
    let (state, result) = (StateHash([0xab; 32]), ResultHash([1; 32]));
    assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", "ab".repeat(32)));
    assert_eq!(serde_json::from_str::<StateHash>(&serde_json::to_string(&state).unwrap()).unwrap(), state);
    assert_eq!(result.to_string().parse(), Ok(result));
    assert!("ab".parse::<ResultHash>().is_err());
}
