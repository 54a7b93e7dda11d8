//! `process load`.

use clap::Args;

/// `process load`.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Its id
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    pub process: String,
    /// Gateways to read from: the module, and the log where no scheduler shows it. Several make good what one hides or lies about
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    pub gateway: Vec<String>,
    /// Where its scheduler shows the log: faster than gateways, and as little believed
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub su: Vec<String>,
    /// Up to this slot (nonce), not to the end of the log
    #[arg(long, value_name = "SLOT")]
    pub to: Option<u64>,
    /// Begin evaluating at the newest checkpoint that these addresses published, and work out what lies before beside it
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', allow_hyphen_values = true)]
    pub checkpoint_owner: Vec<String>,
}
