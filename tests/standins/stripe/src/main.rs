//! Runs the server, and prints its address.

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let standin = paymux_standin_stripe::Standin::start().await?;
    println!(
        "export STRIPE_API_BASE={}\nexport STRIPE_SECRET_KEY=sk_test_standin",
        standin.base_url()
    );
    standin.wait().await;
    Ok(())
}
