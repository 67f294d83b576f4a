using System.Collections.Concurrent;
using Tandem.Core;
using Tandem.Core.Data;
using Tandem.Core.Events;

namespace Tandem.Conformance.Events;

/// <summary>An event of the tests: number so-and-so of its key.</summary>
[Event("tests.told")]
public sealed record Told(string Key, int Number, bool Poison);

/// <summary>An event that only the witness <c>left</c> wants.</summary>
[Event("tests.whispered")]
public sealed record Whispered(string Key, int Number);

/// <summary>Two consumers that write down what they are told, in the order they are told; one of them can be made to fail.</summary>
public sealed class WitnessModule : Module
{
    public const string Left = "witness.left", Right = "witness.right";

    /// <summary>Data directories whose witness on the right fails at everything.</summary>
    internal static readonly ConcurrentDictionary<string, bool> Dead = new();

    /// <summary>Data directories where poison does no harm any more.</summary>
    internal static readonly ConcurrentDictionary<string, bool> Cured = new();

    public override string Name => "witness";

    public override void Add(ModuleBuilder module)
    {
        module.Consume<Told, LeftWitness>(Left);
        module.Consume<Whispered, LeftWitness>(Left);
        module.Consume<Told, RightWitness>(Right);
    }

    internal override string MissingSchema(Schema schema) => schema.Columns("witness_told").Count > 0
        ? ""
        : $"create table witness_told (place {schema.Identity}, witness text, key text, number integer, delivery {schema.TypeOf(typeof(Guid))}, unique (witness, delivery))";

    // The unique delivery makes a second effect of one event an error, and so a visible one.
    static Task WriteAsync(Transaction tx, string witness, string key, int number, Guid delivery, CancellationToken ct) => tx.ExecuteAsync($"""
        insert into witness_told (witness, key, number, delivery) values ({witness}, {key}, {number}, {delivery})
        """, ct);

    sealed class LeftWitness(DataDirectory data) : IConsumer<Told>, IConsumer<Whispered>
    {
        public async Task HandleAsync(Delivery<Told> delivery, Transaction tx, CancellationToken cancellationToken)
        {
            await WriteAsync(tx, Left, delivery.Key, delivery.Event.Number, delivery.Id, cancellationToken);
            if (delivery.Event.Poison && !Cured.ContainsKey(data.Path))
                throw new InvalidOperationException("poison");
        }

        public Task HandleAsync(Delivery<Whispered> delivery, Transaction tx, CancellationToken cancellationToken) =>
            WriteAsync(tx, Left, delivery.Key, delivery.Event.Number, delivery.Id, cancellationToken);
    }

    sealed class RightWitness(DataDirectory data) : IConsumer<Told>
    {
        public Task HandleAsync(Delivery<Told> delivery, Transaction tx, CancellationToken cancellationToken) => Dead.ContainsKey(data.Path)
            ? throw new InvalidOperationException("dead")
            : WriteAsync(tx, Right, delivery.Key, delivery.Event.Number, delivery.Id, cancellationToken);
    }
}
