// When the timer fires.

@export()
@description('NCRONTAB of a pass every few hours. The minute follows from two letters or digits of the seed, so that deployments do not all ask at once.')
func cron(hours int, seed string) string =>
  '0 ${minute(indexOf(letters(), substring(seed, 0, 1)), indexOf(letters(), substring(seed, 1, 1)))} ${hours == 1 ? '*' : hours == 24 ? '0' : '*/${hours}'} * * *'

func minute(first int, second int) int => (36 * first + second) % 60

func letters() string => 'abcdefghijklmnopqrstuvwxyz0123456789'
