using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Kafka;
using Tandem.Postgres;
using Tandem.Redis;

namespace Tandem.Ledger;

/// <summary>What is killed: the program as anyone writes it, with a resource and a module that keeps a row for every effect.</summary>
static class Subject
{
    public static async Task<int> RunAsync(string[] args)
    {
        var app = TandemApp.Create(args);
        app.UsePostgres();
        app.UseRedis();
        app.UseKafka();
        app.Resource<Item>("/items");
        app.Add<LedgerModule>();
        return await app.RunAsync();
    }
}

/// <param name="Name">Given by the writer; no other item has it.</param>
/// <param name="Number">0 for a new item, then one more with every change.</param>
public sealed record Item(string Name, long Number);

[Event("items.created")]
public sealed record ItemCreated(long Id, Item Item);

[Event("items.changed")]
public sealed record ItemChanged(long Id, Item Item);

/// <summary>Consumes every change, and shows what is stored.</summary>
public sealed class LedgerModule : Module
{
    static readonly string[] Events = ["items.created", "items.changed", "users.user-registered"];

    public override string Name => "ledger";

    public override void Add(ModuleBuilder module)
    {
        module.Consume<ItemCreated, Record>();
        module.Consume<ItemChanged, Record>();
        module.Consume<UserRegistered, Record>();
    }

    public override void Map(IEndpointRouteBuilder routes)
    {
        var ledger = routes.MapGroup("/ledger").AllowAnonymous();
        ledger.MapGet("items", (long after, Db db, CancellationToken ct) => db.ListAsync<StoredItem>(
            $"select id, name, number, row_version as version from resources_items where id > {after} order by id limit {Page.Size}", ct));
        ledger.MapGet("accounts", (long after, Db db, CancellationToken ct) => db.ListAsync<StoredAccount>(
            $"select id, email from users_accounts where id > {after} order by id limit {Page.Size}", ct));
        ledger.MapGet("effects", (long after, Db db, CancellationToken ct) => db.ListAsync<StoredEffect>(
            $"select seq, subject, number, delivery_id from ledger_effects where seq > {after} order by seq limit {Page.Size}", ct));
        ledger.MapGet("effects/{kind}/{id:long}/{number:long}", async (string kind, long id, long number, Db db, CancellationToken ct) =>
            await db.FindAsync<long>($"select count(*) from ledger_effects where subject = {$"{kind}/{id}"} and number = {number}", ct) > 0 ? Results.Ok() : Results.NoContent());
        // Of PostgreSQL its own recovery is trusted.
        ledger.MapGet("damage", async (Db db, CancellationToken ct) =>
            db.Engine == "sqlite" ? (await db.ListAsync<string>($"pragma integrity_check", ct)).Where(line => line != "ok") : []);
        ledger.MapGet("caught-up", (ConsumerProgress progress, CancellationToken ct) => progress.CaughtUpAsync("ledger", Events, TimeSpan.FromSeconds(5), ct));
        ledger.MapGet("partitions", (IEventLog log) => log.Partitions);
        ledger.MapGet("events/{partition:int}", async (int partition, long after, IEventLog log, CancellationToken ct) =>
            (await log.ReadAsync(partition, after, Events, Page.Size, ct))
                .Select(e => new LoggedEvent(e.Position, e.Id, e.Name, e.Key, e.Payload)));
    }
}

/// <summary>The effect of an event is a row.</summary>
sealed class Record : IConsumer<ItemCreated>, IConsumer<ItemChanged>, IConsumer<UserRegistered>
{
    public Task HandleAsync(Delivery<ItemCreated> delivery, Transaction tx, CancellationToken cancellationToken) =>
        WriteAsync($"items/{delivery.Event.Id}", delivery.Event.Item.Number, delivery.Id, tx, cancellationToken);

    public Task HandleAsync(Delivery<ItemChanged> delivery, Transaction tx, CancellationToken cancellationToken) =>
        WriteAsync($"items/{delivery.Event.Id}", delivery.Event.Item.Number, delivery.Id, tx, cancellationToken);

    public Task HandleAsync(Delivery<UserRegistered> delivery, Transaction tx, CancellationToken cancellationToken) =>
        WriteAsync($"users/{delivery.Event.UserId}", 0, delivery.Id, tx, cancellationToken);

    static Task WriteAsync(string subject, long number, Guid deliveryId, Transaction tx, CancellationToken ct) =>
        tx.ExecuteAsync($"insert into ledger_effects (subject, number, delivery_id) values ({subject}, {number}, {deliveryId})", ct);
}

static class Page
{
    public const int Size = 5000;
}

public sealed record StoredItem(long Id, string Name, long Number, long Version);

public sealed record StoredAccount(long Id, string Email);

public sealed record StoredEffect(long Seq, string Subject, long Number, Guid DeliveryId);

public sealed record LoggedEvent(long Position, Guid Id, string Name, string Key, string Payload);
