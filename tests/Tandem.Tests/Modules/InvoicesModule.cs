using System.ComponentModel.DataAnnotations;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Http;
using Tandem.Core.Jobs;

namespace Tandem.Tests.Modules;

// The module of docs/guide/modules.md, whole: what the guide shows is an excerpt of this file, and ModuleTests runs it.

public sealed class InvoicesModule : Module
{
    public override string Name => "invoices";        // role, prefix of its tables, configuration section

    public override void Add(ModuleBuilder module)
    {
        module.Options<InvoicesOptions>();             // section Invoices; checked at start
        module.Services.AddSingleton<InvoiceTable>();
        module.Services.AddSingleton<IPersonalData, InvoicesOfPeople>();
        module.Consume<UserRegistered, OpenAccount>(); // every event of this type, once, in order per user
        module.Job<SendInvoice, SendInvoiceHandler>();
    }

    public override void Map(IEndpointRouteBuilder routes) => routes.MapInvoices();
}

public sealed class InvoicesOptions
{
    /// <summary>The largest total of an invoice. Default 10,000.</summary>
    [Range(1, 1_000_000)]
    public decimal MaxTotal { get; set; } = 10_000;
}

sealed class InvoicesOfPeople(Db db) : IPersonalData
{
    public string Name => "invoices";

    public async IAsyncEnumerable<PersonalRecord> ReadAsync(long accountId, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var invoice in await db.ListAsync<Invoice>($"select id, user_id, total from invoices_invoices where user_id = {accountId} order by id", cancellationToken))
            yield return new("invoices", invoice);
    }

    // What has been billed has to be kept, but not for whom.
    public Task EraseAsync(long accountId, CancellationToken cancellationToken) =>
        db.ExecuteAsync($"update invoices_invoices set user_id = 0 where user_id = {accountId}", cancellationToken);
}

sealed class InvoiceTable(Db db)
{
    public Task<Invoice?> FindAsync(long id, CancellationToken ct) =>
        db.FindAsync<Invoice>($"select id, user_id, total from invoices_invoices where id = {id}", ct);

    public Task<Invoice> AddAsync(long userId, decimal total, CancellationToken ct) => db.InTransactionAsync(async tx =>
    {
        var invoice = await tx.FindAsync<Invoice>($"""
            insert into invoices_invoices (user_id, total) values ({userId}, {total}) returning id, user_id, total
            """, ct);
        await tx.PublishAsync(new InvoiceWritten(invoice!.Id, userId), ct);
        await tx.EnqueueAsync(new SendInvoice(invoice.Id), null, ct);
        return invoice;
    }, ct);
}

public sealed record Invoice(long Id, long UserId, decimal Total);

[Event("invoices.invoice-written")]
public sealed record InvoiceWritten(long InvoiceId, long UserId);

[Job("invoices.send")]
public sealed record SendInvoice(long InvoiceId);

public sealed record Limit(Guid OrganisationId, decimal MaxTotal);

public sealed record NewInvoice([property: Range(0.01, 1_000_000)] decimal Total);

static class InvoiceEndpoints
{
    static readonly Problem NotFound = new("invoices/not-found", 404, "Invoice not found");
    static readonly Problem TooMuch = new("invoices/too-much", 422, "The total is above Invoices:MaxTotal.");

    public static void MapInvoices(this IEndpointRouteBuilder routes)
    {
        var invoices = routes.MapGroup("/invoices").WithTags("Invoices");
        invoices.MapPost("", Add).Answers(TooMuch);
        invoices.MapGet("{id:long}", Get).Answers(NotFound);
        invoices.MapGet("limits/{organisation}", Limits).RequireOrganisationRole(OrganisationRole.Admin);
    }

    static async Task<Results<Created<Invoice>, ProblemResult>> Add(NewInvoice body, Caller caller, InvoiceTable invoices, InvoicesOptions options, CancellationToken ct)
    {
        if (body.Total > options.MaxTotal)
            return Problem.Of(TooMuch);
        var invoice = await invoices.AddAsync(caller.AccountId, body.Total, ct);
        return TypedResults.Created($"/invoices/{invoice.Id}", invoice);
    }

    // The organisation's admins and owners alone get here.
    static Ok<Limit> Limits(Guid organisation, InvoicesOptions options) => TypedResults.Ok(new Limit(organisation, options.MaxTotal));

    static async Task<Results<Ok<Invoice>, ProblemResult>> Get(long id, Caller caller, InvoiceTable invoices, CancellationToken ct) =>
        await invoices.FindAsync(id, ct) is { } invoice && (caller.IsAdministrator || invoice.UserId == caller.AccountId)
            ? TypedResults.Ok(invoice)
            : Problem.Of(NotFound);
}

sealed class OpenAccount : IConsumer<UserRegistered>
{
    public Task HandleAsync(Delivery<UserRegistered> delivery, Transaction tx, CancellationToken cancellationToken) =>
        tx.ExecuteAsync($"insert into invoices_accounts (user_id) values ({delivery.Event.UserId})", cancellationToken);
}

sealed class SendInvoiceHandler : IJobHandler<SendInvoice>
{
    public Task RunAsync(JobRun<SendInvoice> run, CancellationToken cancellationToken) =>
        run.CompleteAsync(tx => tx.ExecuteAsync($"update invoices_invoices set sent = sent + 1 where id = {run.Job.InvoiceId}", cancellationToken));
}
