using Tandem.Core.Data;

namespace Tandem.Tests.Core;

public class RowsTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_row_becomes_a_record_with_the_types_that_the_record_has()
    {
        await using var app = await TestApp.StartAsync();
        var id = Guid.NewGuid();
        var at = new DateTime(2026, 2, 3, 4, 5, 6, DateTimeKind.Utc).AddMicroseconds(789);

        var row = await app.Db.FindAsync<Row>($"""
            select {id} as id, {at} as created_at, {1.5m} as price, {2L} as count, {true} as is_open, {"Tuesday"} as day,
                cast(null as integer) as parent, cast(null as integer) as missing, {new byte[] { 1, 2 }} as data
            """, Ct);

        Assert.NotNull(row);
        Assert.Equal(new Row(id, at, 1.5m, 2, true, DayOfWeek.Tuesday, null, 0, row.Data), row);
        Assert.Equal([1, 2], row.Data);
        Assert.Equal(DateTimeKind.Utc, row.CreatedAt.Kind);
    }

    [Fact]
    public async Task A_row_becomes_a_tuple_by_position_and_a_single_column_a_value()
    {
        await using var app = await TestApp.StartAsync();

        Assert.Equal((1L, "one"), await app.Db.FindAsync<(long, string)>($"select {1L} as a, {"one"} as b", Ct));
        Assert.Equal(7, await app.Db.FindAsync<int>($"select sum(v) from (select {3L} as v union all select {4L}) t", Ct));
        Assert.Null(await app.Db.FindAsync<long?>($"select cast(null as integer)", Ct));
        Assert.Equal(DayOfWeek.Friday, await app.Db.FindAsync<DayOfWeek>($"select {"Friday"} as day", Ct));
    }

    [Fact]
    public async Task A_record_that_names_other_columns_than_the_statement_is_refused_with_both_lists()
    {
        await using var app = await TestApp.StartAsync();

        var wrong = await Assert.ThrowsAsync<InvalidOperationException>(async () => await app.Db.FindAsync<Two>($"select {1L} as second, {2L} as first", Ct));

        Assert.Contains("Two takes (first, second)", wrong.Message, StringComparison.Ordinal);
        Assert.Contains("the statement selects (second, first)", wrong.Message, StringComparison.Ordinal);
    }

    sealed record Row(Guid Id, DateTime CreatedAt, decimal Price, int Count, bool IsOpen, DayOfWeek Day, long? Parent, int Missing, byte[] Data);

    sealed record Two(long First, long Second);
}
