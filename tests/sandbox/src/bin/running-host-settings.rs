//! Prints the local.settings.json of a host that the tests are to be pointed at.

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let settings = sandbox::running::settings().await?;
    println!("{:#}", serde_json::json!({"IsEncrypted": false, "Values": settings}));
    Ok(())
}
