// When the timer fires for every choice of hours, and at which minutes forty deployments ask.
using none

import { cron } from '../../modules/schedule.bicep'

param crons = toObject([1, 2, 3, 4, 6, 8, 12, 24], hours => string(hours), hours => cron(hours, 'ab'))
param minutes = map(range(0, 40), salt => split(cron(1, uniqueString(string(salt))), ' ')[1])
