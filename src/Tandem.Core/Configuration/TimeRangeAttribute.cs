using System.ComponentModel.DataAnnotations;
using System.Globalization;

namespace Tandem.Core.Configuration;

/// <summary>
/// A setting's length of time lies within bounds that are both allowed, each written <c>[d.]hh:mm:ss[.fffffff]</c>. What it extends would ask <c>System.ComponentModel.TypeConverter</c> how to read
/// them, a library that a program at rest needs for nothing else.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class TimeRangeAttribute(string minimum, string maximum) : RangeAttribute(typeof(TimeSpan), minimum, maximum)
{
    readonly TimeSpan _least = TimeSpan.Parse(minimum, CultureInfo.InvariantCulture);
    readonly TimeSpan _most = TimeSpan.Parse(maximum, CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public override bool IsValid(object? value) => value is null || (value is TimeSpan time && time >= _least && time <= _most);
}
