//! Lines to paste: how `aos` and aoconnect reach this node.

use std::path::Path;

use crate::handle::Identity;

/// The lines for a node at `url`, signing with the JWK at `wallet`.
pub fn lines(url: &str, identity: &Identity, wallet: &Path) -> String {
    let (scheduler, authority, module) = (identity.scheduler, identity.messenger, identity.default_module);
    let wallet = wallet.display();
    format!(
        r#"aos (`npm install -g @permaweb/aos`; add --legacy from version 2 on):
  GATEWAY_URL={url} aos me \
    --gateway-url {url} --cu-url {url} --mu-url {url} \
    --scheduler {scheduler} \
    --module {module} \
    --tag-name Authority --tag-value {authority} \
    --wallet {wallet}

aoconnect (`npm install @permaweb/aoconnect`):
  import {{ readFileSync }} from 'node:fs'
  import {{ connect, createDataItemSigner }} from '@permaweb/aoconnect'
  const {{ spawn, message, result }} = connect({{
    MODE: 'legacy', MU_URL: '{url}', CU_URL: '{url}', GATEWAY_URL: '{url}' }})
  const signer = createDataItemSigner(JSON.parse(readFileSync('{wallet}')))
  const process = await spawn({{
    module: '{module}',
    scheduler: '{scheduler}', signer,
    tags: [{{ name: 'Authority', value: '{authority}' }}] }})
  const id = await message({{ process, signer, tags: [{{ name: 'Action', value: 'Eval' }}], data: '1 + 1' }})
  console.log((await result({{ process, message: id }})).Output.data)
"#
    )
}
