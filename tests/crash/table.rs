use crate::{boundary::*, story::*, world::*};
#[tokio::test]
async fn dbg() {
    let story = Story::Webhook;
    let world = World::new(Kept::InMemory, story.shape(), story.accounts()).await;
    let setting = Box::pin(story.set_up(&world)).await;
    let b = Boundaries::default();
    let engine = world.engine(&b).await;
    let done = Box::pin(story.act(&world, &engine, &setting)).await;
    println!("{done:?} {:#?} {:#?}", b.log(), world.sandbox.ledger().sends());
    let p = engine.recover_due(100).await.unwrap();
    println!("{p:?} {:#?}", world.intents().await[0].status());
    println!("{:#?}", b.log());
}
