using Tandem.Ledger;

namespace Tandem.Tests.Bench;

/// <summary>The ledger is worth what its verdict notices: every kind of broken promise is shown to it.</summary>
[Storeless("Numbers that are compared.")]
public sealed class VerdictTests
{
    static readonly Guid[] Ids = [.. Enumerable.Range(1, 9).Select(n => new Guid(n, 0, 0, new byte[8]))];

    // w0-1 was made and changed twice, a person signed up; w0-2 was sent and never answered.
    static readonly Change[] Acknowledged = [new("items", "w0-1", 1, 0), new("items", "w0-1", 1, 1), new("items", "w0-1", 1, 2), new("users", "a@example.com", 1, 0)];
    static readonly Dictionary<string, long> Asked = new() { ["w0-1"] = 2, ["a@example.com"] = 0, ["w0-2"] = 0 };

    static readonly Stored Right = new(
        [new(1, "w0-1", 2, 3)], [new(1, "a@example.com")],
        [Event(1, "items.created", 0), Event(2, "items.changed", 1), Event(3, "users.user-registered", 0), Event(4, "items.changed", 2)],
        [new(1, "items/1", 0, Ids[1]), new(2, "users/1", 0, Ids[3]), new(3, "items/1", 1, Ids[2]), new(5, "items/1", 2, Ids[4])]);

    [Fact]
    public void What_is_as_it_was_acknowledged_is_clean() => Assert.True(Judge(Right).IsClean);

    [Fact]
    public void What_was_sent_and_not_answered_may_be_there() => Assert.True(Judge(Right with
    {
        Items = [.. Right.Items, new(2, "w0-2", 0, 1)],
        Events = [.. Right.Events, Event(5, "items.created", 0, 2)],
        Effects = [.. Right.Effects, new(6, "items/2", 0, Ids[5])],
    }).IsClean);

    [Fact]
    public void A_log_may_hold_an_event_twice() => Assert.True(Judge(Right with { Events = [.. Right.Events, Right.Events[1] with { Position = 9 }] }).IsClean);

    [Fact]
    public void A_missing_row_is_lost() => Assert.Contains(Judge(Right with { Items = [] }).Lost, l => l.StartsWith("w0-1", StringComparison.Ordinal));

    [Fact]
    public void A_missing_account_is_lost() => Assert.Single(Judge(Right with { Accounts = [] }).Lost);

    [Fact]
    public void An_older_value_is_lost() => Assert.Contains(Judge(Right with { Items = [new(1, "w0-1", 1, 2)] }).Lost, l => l.Contains("it holds 1", StringComparison.Ordinal));

    [Fact]
    public void Another_id_than_the_acknowledged_one_is_lost() => Assert.NotEmpty(Judge(Right with { Items = [new(7, "w0-1", 2, 3)] }).Lost);

    [Fact]
    public void A_missing_event_is_lost() => Assert.Contains(Judge(Right with { Events = [.. Right.Events.Where(e => e.Position != 2)] }).Lost, l => l.Contains("no event", StringComparison.Ordinal));

    [Fact]
    public void A_missing_effect_is_lost() => Assert.Contains(Judge(Right with { Effects = [.. Right.Effects.SkipLast(1)] }).Lost, l => l.Contains("no effect", StringComparison.Ordinal));

    [Fact]
    public void A_second_row_is_doubled() => Assert.NotEmpty(Judge(Right with { Items = [.. Right.Items, new(2, "w0-1", 2, 3)] }).Doubled);

    [Fact]
    public void A_second_change_is_doubled() => Assert.Single(Judge(Right with { Items = [new(1, "w0-1", 2, 4)] }).Doubled);

    [Fact]
    public void A_second_event_is_doubled() => Assert.Single(Judge(Right with { Events = [.. Right.Events, Event(5, "items.changed", 2)] }).Doubled);

    [Fact]
    public void A_second_effect_is_doubled() => Assert.Single(Judge(Right with { Effects = [.. Right.Effects, new(6, "items/1", 2, Ids[4])] }).Doubled);

    [Fact]
    public void Events_that_changed_places_are_out_of_order() =>
        Assert.Single(Judge(Right with { Events = [Right.Events[0], Right.Events[3], Right.Events[1], Right.Events[2]] }).OutOfOrder);

    [Fact]
    public void Effects_that_changed_places_are_out_of_order() =>
        Assert.Single(Judge(Right with { Effects = [Right.Effects[0], Right.Effects[1], Right.Effects[3], Right.Effects[2]] }).OutOfOrder);

    [Fact]
    public void What_nobody_sent_is_noticed() => Assert.NotEmpty(Judge(Right with { Accounts = [.. Right.Accounts, new(2, "b@example.com")] }).Unasked);

    [Fact]
    public void A_number_that_nobody_sent_is_noticed() => Assert.NotEmpty(Judge(Right with { Items = [new(1, "w0-1", 3, 4)] }).Unasked);

    [Fact]
    public void An_effect_without_its_event_is_noticed() =>
        Assert.NotEmpty(Judge(Right with { Effects = [.. Right.Effects.Take(3), new(5, "items/1", 2, Ids[8])] }).Unasked);

    [Fact]
    public void Effects_of_what_is_not_there_are_noticed() => Assert.NotEmpty(Judge(Right with { Effects = [.. Right.Effects, new(6, "items/9", 0, Ids[1])] }).Unasked);

    static Verdict Judge(Stored stored) => Verdict.Of(Acknowledged, Asked, stored);

    static LoggedEvent Event(int position, string name, long number, long id = 1) =>
        new(position, Ids[position], name, $"{id}", name[0] == 'u' ? $$$"""{"user_id":{{{id}}}}""" : $$$"""{"id":{{{id}}},"item":{"number":{{{number}}},"name":"x"}}""");
}
